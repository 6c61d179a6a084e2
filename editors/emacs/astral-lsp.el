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

;; Answers and notifications arrive in a process filter, which must not wait for a person: what comes of them
;; runs from a timer, so that further messages are read while a question is open.

(defun astral-lsp--soon (function &rest arguments)
  "Call FUNCTION with ARGUMENTS in this buffer, as soon as Emacs is idle enough to run timers."
  (let ((buffer (current-buffer)))
    (run-at-time 0 nil (lambda ()
                         (when (buffer-live-p buffer)
                           (with-current-buffer buffer (apply function arguments)))))))

(defun astral-lsp--command (name argument on-success &optional on-failure)
  "Run the server's command NAME with ARGUMENT; a function that cancels it.
Call ON-SUCCESS with its answer in this buffer, or ON-FAILURE with a sentence,
which is shown unless that is given."
  (let* ((server (astral-lsp--server))
         (buffer (current-buffer))
         (on-failure (or on-failure (lambda (sentence) (message "astral-lsp: %s" sentence))))
         (back (lambda (function argument)
                 (when (buffer-live-p buffer)
                   (with-current-buffer buffer (astral-lsp--soon function argument))))))
    (eglot--signal-textDocument/didChange)
    (let ((request
           (jsonrpc--async-request-1
            server :workspace/executeCommand
            (list :command (concat "astral." name) :arguments (vector argument))
            :timeout astral-lsp-timeout
            :success-fn (lambda (answer) (funcall back on-success answer))
            :error-fn (lambda (problem) (funcall back on-failure (plist-get problem :message)))
            :timeout-fn (lambda ()
                          (funcall back on-failure (format "no answer within %s s" astral-lsp-timeout))))))
      (lambda () (jsonrpc-notify server :$/cancelRequest (list :id (car request)))))))

;;; Filling

(cl-defstruct (astral-lsp--run (:constructor astral-lsp--run-create))
  "A run of `astral.fillHole'."
  name
  (rows nil :documentation "Alist of what the list shows to the fills of the server, as they came.")
  (over nil :documentation "Nothing more will come.")
  (asked nil :documentation "The list is, or was, open.")
  (left nil :documentation "Nobody waits for the rest.")
  (cancel #'ignore))

(defvar astral-lsp--runs nil "Alist of the names of runs to functions that take what they found so far.")
(defvar astral-lsp--count 0)
(defvar-local astral-lsp--asking nil "In a minibuffer: the run whose list is open in it.")

(cl-defmethod eglot-handle-notification
  ((_server astral-lsp-server) (_method (eql astral/fills)) &key partial fills &allow-other-keys)
  "FILLS is what the run called PARTIAL has found so far."
  (when-let ((news (alist-get partial astral-lsp--runs nil nil #'equal)))
    (funcall news fills)))

(defun astral-lsp--refused (fill)
  "Whether a check refused FILL."
  (eq (plist-get fill :refused) t))

(defun astral-lsp--take (run fills)
  "Put FILLS into the rows of RUN; what has a row keeps its number."
  (seq-do (lambda (fill)
            (let ((row (seq-find (lambda (row)
                                   (equal (plist-get (cdr row) :text) (plist-get fill :text)))
                                 (astral-lsp--run-rows run)))
                  (line (car (split-string (plist-get fill :text) "\n"))))
              (if row (setcdr row fill)
                (setf (astral-lsp--run-rows run)
                      (append (astral-lsp--run-rows run)
                              (list (cons (format "%d  %s" (1+ (length (astral-lsp--run-rows run))) line)
                                          fill)))))))
          fills))

(defun astral-lsp--annotation (run row)
  "What the list of RUN says behind ROW."
  (let ((fill (alist-get row (astral-lsp--run-rows run) nil nil #'equal)))
    (concat (and (string-search "\n" (plist-get fill :text)) " …")
            "   " (plist-get fill :marks)
            (and (astral-lsp--refused fill) "   refused"))))

(defun astral-lsp--choose (run)
  "Let the person choose among the fills of RUN, which may grow meanwhile; the fill."
  (let ((table (lambda (string predicate action)
                 (if (eq action 'metadata)
                     `(metadata (annotation-function . ,(apply-partially #'astral-lsp--annotation run))
                                (display-sort-function . identity))
                   (complete-with-action action (astral-lsp--run-rows run) string predicate))))
        (prompt (if (astral-lsp--run-over run) "Fill the hole with: "
                  "Fill the hole with (more are being drawn): ")))
    (alist-get (minibuffer-with-setup-hook (lambda () (setq astral-lsp--asking run))
                 (completing-read prompt table nil t nil nil (caar (astral-lsp--run-rows run))))
               (astral-lsp--run-rows run) nil nil #'equal)))

(defvar icomplete-mode)
(defvar vertico--input)
(declare-function icomplete-exhibit "icomplete")
(declare-function vertico--exhibit "ext:vertico")

(defun astral-lsp--redraw (run)
  "Show the rows that RUN has got in the list that is open."
  (when-let ((window (active-minibuffer-window)))
    (with-selected-window window
      (when (eq astral-lsp--asking run)
        (cond ((get-buffer-window "*Completions*" 0) (minibuffer-completion-help))
              ((bound-and-true-p icomplete-mode) (icomplete-exhibit))
              ((bound-and-true-p vertico--input) (setq vertico--input t) (vertico--exhibit)))
        (message (if (astral-lsp--run-over run) "%d candidates" "%d candidates so far")
                 (length (astral-lsp--run-rows run)))))))

(defun astral-lsp--insert (fill)
  "Have the server insert FILL, whose argument names the version that it was drawn for."
  (astral-lsp--command
   "applyFill" (plist-get fill :argument)
   (lambda (answer)
     (astral-lsp--go-behind (plist-get answer :range))
     (message "astral-lsp: %s" (plist-get fill :marks)))))

(defun astral-lsp--go-behind (range)
  "When point is in RANGE, where a fill is now, go to its end."
  (when range
    (pcase-let ((`(,beginning . ,end) (eglot--range-region range)))
      (when (<= beginning (point) end) (goto-char end)))))

(defun astral-lsp--leave (run)
  "Nobody needs the rest of RUN."
  (unless (astral-lsp--run-over run)
    (setf (astral-lsp--run-left run) t)
    (funcall (astral-lsp--run-cancel run))))

(defun astral-lsp--ask (run)
  "Open the list of RUN, once, and insert what is chosen."
  (unless (or (astral-lsp--run-asked run) (astral-lsp--run-left run))
    (setf (astral-lsp--run-asked run) t)
    (let ((fill (unwind-protect (astral-lsp--choose run)
                  (astral-lsp--leave run))))
      (when fill (astral-lsp--insert fill)))))

(defun astral-lsp--news (run fills)
  "FILLS is all that RUN has found so far."
  (astral-lsp--take run fills)
  (cond ((astral-lsp--run-asked run) (astral-lsp--redraw run))
        ((not (seq-every-p #'astral-lsp--refused fills)) (astral-lsp--ask run))))

(defun astral-lsp--ended (run answer best)
  "ANSWER is what RUN came to; BEST asks for the best fill instead of a list."
  (let* ((fills (plist-get answer :fills))
         (first (and (> (length fills) 0) (aref fills 0))))
    (setf (astral-lsp--run-over run) t)
    (astral-lsp--take run fills)
    (cond ((astral-lsp--run-asked run) (astral-lsp--redraw run))
          ((not first) (message "astral-lsp: %s" (plist-get answer :message)))
          ((not best) (astral-lsp--ask run))
          ((astral-lsp--refused first)
           (message "astral-lsp: no candidate passed; M-x astral-lsp-explain says why"))
          (t (astral-lsp--insert first)))))

;;;###autoload
(defun astral-lsp-fill (&optional best)
  "Fill the hole at point with a candidate of your choice.
The list opens with the first candidate that no check refused, and others
join it.  With prefix BEST, insert the best of all, unless a check refused it."
  (interactive "P")
  (message "astral-lsp: filling …")
  (let* ((name (format "list %d" (cl-incf astral-lsp--count)))
         (run (astral-lsp--run-create :name name))
         (buffer (current-buffer))
         (forget (lambda () (setf (alist-get name astral-lsp--runs nil t #'equal) nil))))
    (unless best
      (push (cons name (lambda (fills)
                         (when (buffer-live-p buffer)
                           (with-current-buffer buffer (astral-lsp--soon #'astral-lsp--news run fills)))))
            astral-lsp--runs))
    (setf (astral-lsp--run-cancel run)
          (astral-lsp--command
           "fillHole"
           (append (astral-lsp--here) '(:apply :json-false :patient t) (unless best `(:partial ,name)))
           (lambda (answer)
             (funcall forget)
             (unless (astral-lsp--run-left run) (astral-lsp--ended run answer best)))
           (lambda (sentence)
             (funcall forget)
             (setf (astral-lsp--run-over run) t)
             (unless (astral-lsp--run-left run) (message "astral-lsp: %s" sentence)))))))

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
