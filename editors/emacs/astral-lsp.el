;;; astral-lsp.el --- Verified fills for typed holes in Python  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: Apache-2.0
;; Version: 0.1.0
;; Package-Requires: ((emacs "28.1") (eglot "1.9") (jsonrpc "1.0.15"))
;; Keywords: languages, tools

;;; Commentary:

;; Registers the astral-lsp language server with Eglot and adds what Eglot's own code actions cannot
;; do: choosing among candidates, and fills that take longer than Eglot's ten seconds.
;;
;;   (require 'astral-lsp)
;;   (astral-lsp-setup)          ; Python buffers use this server: M-x eglot
;;
;; Commands: `astral-lsp-fill', `astral-lsp-fill-function', `astral-lsp-fill-file',
;; `astral-lsp-refine', `astral-lsp-next-hole', `astral-lsp-previous-hole', `astral-lsp-explain', `astral-lsp-cancel',
;; `astral-lsp-trust', `astral-lsp-doctor'.  Nothing is bound to keys; `astral-lsp-command-map' is a
;; keymap to bind to a prefix of your choice.

;;; Code:

(require 'cl-lib)
(require 'eglot)
(require 'jsonrpc)

(defgroup astral-lsp nil
  "Verified fills for typed holes in Python."
  :group 'eglot)

(defcustom astral-lsp-program '("astral-lsp" "--stdio")
  "The server's program and its arguments."
  :type '(repeat string))

(defcustom astral-lsp-timeout 60
  "Seconds to wait for a command; the server's own budget for a fill is shorter."
  :type 'number)

(defclass astral-lsp-server (eglot-lsp-server)
  ((status :initform nil :accessor astral-lsp--status
           :documentation "Parameters of the last `astral/status' notification, a plist."))
  :documentation "The astral-lsp server, as Eglot sees it.")

;;;###autoload
(defun astral-lsp-setup ()
  "Make Eglot start astral-lsp in Python buffers."
  (add-to-list 'eglot-server-programs
               `((python-mode python-ts-mode) . (astral-lsp-server ,@astral-lsp-program))))

;;; What the server sends

(cl-defmethod eglot-handle-notification
  ((server astral-lsp-server) (_method (eql astral/status)) &rest status)
  "Keep STATUS of SERVER for the mode line."
  (setf (astral-lsp--status server) status)
  (force-mode-line-update t))

(cl-defmethod eglot-handle-request
  ((_server astral-lsp-server) (_method (eql workspace/applyEdit)) &key edit &allow-other-keys)
  "Apply EDIT without asking: a fill was chosen a moment ago.
To a stale one say no, and why."
  (condition-case problem
      (progn
        (eglot--apply-workspace-edit edit nil)
        '(:applied t))
    (error (list :applied :json-false :failureReason (astral-lsp--words problem)))))

(defun astral-lsp-status ()
  "What the server of this buffer is doing, in a few words.
Without a server, the empty string."
  (let* ((server (eglot-current-server))
         (status (and (cl-typep server 'astral-lsp-server) (astral-lsp--status server))))
    (if (not status) ""
      (format "astral: %s%s" (plist-get status :state)
              (if (eq (plist-get status :trusted) t) "" ", untrusted")))))

;;; Asking the server

(defun astral-lsp--words (problem)
  "PROBLEM, as `condition-case' gives it, in words."
  (or (alist-get 'jsonrpc-error-message (cdr problem)) (error-message-string problem)))

(defun astral-lsp--server ()
  "The server of this buffer; an error that says what to do when there is none."
  (let ((server (eglot-current-server)))
    (unless (cl-typep server 'astral-lsp-server)
      (user-error "No astral-lsp server here: M-x eglot starts one (see `astral-lsp-setup')"))
    server))

(defun astral-lsp--here ()
  "The argument of a command about the hole at point."
  (append (eglot--TextDocumentIdentifier)
          (list :position (eglot--pos-to-lsp-position (point)))))

(defun astral-lsp--command (name argument on-success)
  "Run the server's command NAME with ARGUMENT.
Call ON-SUCCESS with its answer in this buffer."
  (let ((server (astral-lsp--server)) (buffer (current-buffer)))
    (eglot--signal-textDocument/didChange)
    (jsonrpc-async-request
     server :workspace/executeCommand
     (list :command (concat "astral." name) :arguments (vector argument))
     :timeout astral-lsp-timeout
     :success-fn (lambda (answer)
                   (when (buffer-live-p buffer)
                     (with-current-buffer buffer (funcall on-success answer))))
     :error-fn (lambda (problem) (message "astral-lsp: %s" (plist-get problem :message)))
     :timeout-fn (lambda () (message "astral-lsp: no answer within %s s" astral-lsp-timeout)))))

;;; Filling

(defun astral-lsp--choose (answer)
  "Let the person choose among the fills of ANSWER; the fill, or nil without any."
  (let* ((fills (append (plist-get answer :fills) nil))
         (rows (cl-loop for fill in fills for number from 1
                        collect (cons (format "%d  %s" number
                                              (car (split-string (plist-get fill :text) "\n")))
                                      fill)))
         (marks (lambda (row)
                  (let ((fill (alist-get row rows nil nil #'equal)))
                    (concat (and (string-search "\n" (plist-get fill :text)) " …")
                            "   " (plist-get fill :marks)
                            (and (eq (plist-get fill :refused) t) "   refused")))))
         (table (lambda (string predicate action)
                  (if (eq action 'metadata)
                      `(metadata (annotation-function . ,marks)
                                 (display-sort-function . identity))
                    (complete-with-action action rows string predicate)))))
    (when rows
      (alist-get (completing-read "Fill the hole with: " table nil t nil nil (caar rows))
                 rows nil nil #'equal))))

(defun astral-lsp--insert (fill)
  "Have the server insert FILL, whose argument names the version that it was drawn for."
  (astral-lsp--command
   "applyFill" (plist-get fill :argument)
   (lambda (_answer) (message "astral-lsp: %s" (plist-get fill :marks)))))

;;;###autoload
(defun astral-lsp-fill (&optional best)
  "Fill the hole at point with a candidate of your choice.
With prefix BEST, insert the best one, unless a check refused it."
  (interactive "P")
  (message "astral-lsp: filling …")
  (astral-lsp--command
   "fillHole" (append (astral-lsp--here) '(:apply :json-false :patient t))
   (lambda (answer)
     (let* ((fills (plist-get answer :fills))
            (first (and (> (length fills) 0) (aref fills 0)))
            (fill (cond ((not first) nil)
                        (best (and (not (eq (plist-get first :refused) t)) first))
                        (t (astral-lsp--choose answer)))))
       (cond (fill (astral-lsp--insert fill))
             (first (message "astral-lsp: no candidate passed; M-x astral-lsp-explain says why"))
             (t (message "astral-lsp: %s" (plist-get answer :message))))))))

(defun astral-lsp--fill-many (command)
  "Run COMMAND, which fills several holes."
  (message "astral-lsp: filling …")
  (astral-lsp--command command (astral-lsp--here)
                       (lambda (answer) (message "astral-lsp: %s" (plist-get answer :message)))))

;;;###autoload
(defun astral-lsp-fill-function ()
  "Fill every hole of the function around the hole at point."
  (interactive)
  (astral-lsp--fill-many "fillFunction"))

;;;###autoload
(defun astral-lsp-fill-file ()
  "Fill every hole of the buffer."
  (interactive)
  (astral-lsp--fill-many "fillFile"))

;;;###autoload
(defun astral-lsp-refine ()
  "Fill one level of the hole at point and leave holes inside."
  (interactive)
  (message "astral-lsp: filling …")
  (astral-lsp--command "refineHole" (astral-lsp--here)
                       (lambda (_answer) (message "astral-lsp: refined"))))

(defun astral-lsp-cancel ()
  "Stop every fill under way."
  (interactive)
  (astral-lsp--command "cancel" eglot--{}
                       (lambda (answer) (message "astral-lsp: %d stopped" (plist-get answer :stopped)))))

;;; Finding and explaining

(defun astral-lsp--step (command)
  "Go where COMMAND says."
  (astral-lsp--command
   command (append (astral-lsp--here) '(:show :json-false))
   (lambda (hole)
     (if (not hole) (message "astral-lsp: there is no hole in this buffer")
       (push-mark nil t)
       (goto-char (eglot--lsp-position-to-point (plist-get (plist-get hole :range) :start)))))))

;;;###autoload
(defun astral-lsp-next-hole ()
  "Go to the next hole, around the end of the buffer."
  (interactive)
  (astral-lsp--step "nextHole"))

;;;###autoload
(defun astral-lsp-previous-hole ()
  "Go to the previous hole."
  (interactive)
  (astral-lsp--step "previousHole"))

(defun astral-lsp--show (name text)
  "Show TEXT in a buffer called NAME."
  (with-current-buffer (get-buffer-create name)
    (let ((inhibit-read-only t))
      (erase-buffer)
      (insert text)
      (goto-char (point-min)))
    (if (fboundp 'gfm-view-mode) (gfm-view-mode) (special-mode))
    (display-buffer (current-buffer))))

;;;###autoload
(defun astral-lsp-explain ()
  "Show every candidate of the hole at point with what mypy and the tests said."
  (interactive)
  (astral-lsp--command
   "explainRejected" (append (astral-lsp--here) '(:show :json-false))
   (lambda (answer) (astral-lsp--show "*astral-lsp candidates*" (plist-get answer :text)))))

;;; The workspace

;;;###autoload
(defun astral-lsp-trust (&optional no-longer)
  "Let the workspace's own code run: its tests, and plugins of mypy.
With prefix, NO-LONGER."
  (interactive "P")
  (when (or no-longer
            (yes-or-no-p "Let code of this workspace run (its tests, and plugins of mypy)? "))
    (astral-lsp--command (if no-longer "untrustWorkspace" "trustWorkspace") (astral-lsp--here)
                         (lambda (status)
                           (message "astral-lsp: %s"
                                    (if (eq (plist-get status :trusted) t) "trusted" "not trusted"))))))

(defun astral-lsp-doctor ()
  "Check model, interpreter, mypy, pytest and sandbox."
  (interactive)
  (message "astral-lsp: asking the doctor …")
  (astral-lsp--command "doctor" eglot--{}
                       (lambda (answer) (astral-lsp--show "*astral-lsp doctor*" (plist-get answer :text)))))

(defvar astral-lsp-command-map
  (let ((map (make-sparse-keymap)))
    (define-key map "f" #'astral-lsp-fill)
    (define-key map "a" #'astral-lsp-fill-function)
    (define-key map "A" #'astral-lsp-fill-file)
    (define-key map "r" #'astral-lsp-refine)
    (define-key map "n" #'astral-lsp-next-hole)
    (define-key map "p" #'astral-lsp-previous-hole)
    (define-key map "e" #'astral-lsp-explain)
    (define-key map "c" #'astral-lsp-cancel)
    map)
  "Commands about holes, for a prefix key of your choice.")
(fset 'astral-lsp-command-map astral-lsp-command-map)

(provide 'astral-lsp)
;;; astral-lsp.el ends here
